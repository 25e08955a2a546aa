"""The commands of `handover`, by what they work on; each module adds its own to the parser."""
