from fixtures.runs import Runner
from test_ledger_case import opened
from handover.sample.company import generate
from handover.stages.inventory import inventory, check
from handover.stages.plan import plan
from handover.stages.gates import hear
def test_it(runner: Runner):
    generate(runner.urls["src"], rows=3_000, seed=7)
    c = opened(runner)
    for f in check(c): print(f.id, f.message)
    inventory(c)
    m = plan(c)
    print(m.scope)
    h = hear(c, m)
    for v in h.verdicts:
        if v.state != 'pass': print(v.gate, v.state, v.lacking)
    print(h.document()["inputs"]["scope_sha256"], len(h.verdicts))
