"""Commands for what comes after a disposal was closed: end the backup, validate the result, certify anew."""

from __future__ import annotations

import argparse
import sys

from handover.commands.persons import add_identity, person
from handover.commands.shared import Arguments, Commands, add, add_group, open_case


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    backup = add_group(commands, "backup", "end the backup of a run")
    text = "Destroy the key and the files of a run's backup, once its day has come and the run is complete."
    ending = add(backup, "end", end_backup, text)
    group = add_group(commands, "certificate", "validate and issue the certificate of destruction of a run")
    text = "Record that the result is, or is not, good enough; for another than who asked for the run."
    validating = add(group, "validate", validate, text)
    validating.add_argument("--good-enough", required=True, choices=("yes", "no"))
    validating.add_argument("--reason", required=True, help="what was looked at, without personal data")
    add_identity(validating)
    issuing = add(group, "issue", issue, "Write the certificate as it is now into an evidence folder.")
    for command in (ending, validating, issuing):
        command.add_argument("case")
        command.add_argument("--run", required=True, help="`handover status CASE` lists the runs")


def end_backup(options: Arguments) -> int:
    """End the backup; say what became of its key, and which certificates are to be issued anew."""
    from handover.stages.backup_end import backup_end
    from handover.stages.certifying import outstanding
    from handover.stages.context import run_name

    context = open_case(options.case, run_name(options.run))
    done = backup_end(context)
    opens = "it opens nothing any more" if done["decryption_fails"] else "a file of the backup still opens"
    print(f"key {done['key']}: {done['result']}; {opens}")
    date = done["effective_erasure_date"] or "none yet, another backup of the database holds the rows"
    print(f"effective erasure date: {date}")
    for one in outstanding(context):
        print(f"`handover certificate issue {one.case.case} --run {one.run}`", file=sys.stderr)
    return 0 if done["decryption_fails"] else 1


def validate(options: Arguments) -> int:
    """Record the decision of the person whose account this is."""
    from handover.stages.context import run_name
    from handover.stages.validating import validate_result

    who = person(options)
    context = open_case(options.case, run_name(options.run))
    made = validate_result(context, who, good_enough=options.good_enough == "yes", reason=options.reason)
    print(f"{made.by}, {made.on}: {'good enough' if made.good_enough else 'not good enough'}")
    return 0


def issue(options: Arguments) -> int:
    """Write the certificate; 1 while it is provisional."""
    from handover.stages.certifying import ISSUED, issue_certificate
    from handover.stages.context import run_name

    context = open_case(options.case, run_name(options.run))
    folder = issue_certificate(context)
    told = context.entries(ISSUED)[-1].body
    print(f"{told['finality']}: {folder}")
    print("\n".join(f"open: {point}" for point in told["open_points"]) or "nothing is open")
    return 0 if told["finality"] == "final" else 1
