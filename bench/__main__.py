"""``python -m bench``. Imports nothing unless it is run: every process of the engine loads this module."""

if __name__ == "__main__":
    import sys

    from bench.program import main
    from handover.errors import HandoverError

    try:
        sys.exit(main(sys.argv[1:]))
    except HandoverError as error:
        sys.exit(f"bench: {error}")
