"""The policy language against the original: generated rules, targets and credentials are decided by
Debian's python3-oslo.policy and by our code (policy_oracle.c), and every answer must be the same.
POLICY_SEED and POLICY_SETS choose other cases. Exit status 77 (skipped) without the package.
"""
import json
import logging
import os
import random
import subprocess
import sys

try:
    from oslo_policy import _checks, _parser, policy
except ImportError:
    print("policy_oracle: skipped: python3-oslo.policy is not installed")
    sys.exit(77)

CASES = 8  # per set of rules
KEYS = ["project_id", "user_id", "flag", "nothing", "count", "name", "a.b"]
VALUES = ["p1", "p2", "u1", "admin", "Reader", "", "None", "True", "7", None, True, False, 7, -3]
ROLES = ["admin", "Admin", "member", "reader", "creator", "p1", "7"]
LITERALS = ["None", "True", "False", "7", "-3", "+7", "0", "'p1'", '"u1"', "''", "'True'"]
PATHS = ["user_id", "project_id", "is_admin", "gone", "token.user.id", "token.roles.name",
         "token.gone.id", "groups", "roles", "count", "token.user.on"]
TEXTS = ["p1", "p2", "u1", "True", "False", "None", "7", "-3", "admin", "", "50%%", "a:b"]
DOCUMENT_WORDS = KEYS, PATHS, TEXTS
CALLER = ["p1", "p2", "u1", "u2", "all", "7"]
CALLER_WORDS = (
    ["project_id", "user_id", "trustee_user_id", "trustee_domain_id", "nothing"],
    ["user_id", "user_name", "project_id", "project_name", "user_domain_id", "user_domain_name",
     "domain_id", "domain_name", "trust_id", "is_admin", "roles", "system_scope", "gone",
     "gone.more"],
    ["p1", "p2", "u1", "True", "False", "all", "admin", "reader", "7", "%(project_id)s%%",
     "x%(user_id)s", "%%(user_id)s"])


def value_text(r):
    return f"%({r.choice(KEYS)})s" if r.random() < 0.6 else r.choice(TEXTS)


def check(r, known):
    kind = r.random()
    if kind < 0.08:
        return r.choice("@!")
    if kind < 0.30:
        return "rule:" + r.choice(known + ["unknown"])
    if kind < 0.55:
        return "role:" + (r.choice(ROLES) if r.random() < 0.8 else value_text(r))
    if kind < 0.65:
        return r.choice(LITERALS) + ":" + value_text(r)
    return r.choice(PATHS) + ":" + value_text(r)


def words(r, known, depth):
    """A valid expression as a list of tokens."""
    shape = r.random()
    if depth == 0 or shape < 0.25:
        return [check(r, known)]
    if shape < 0.4:
        return [r.choice(["not", "NOT", "Not"])] + words(r, known, depth - 1)
    if shape < 0.6:
        return ["("] + words(r, known, depth - 1) + [")"]
    join = r.choice(["and", "or", "AND", "oR"])
    return words(r, known, depth - 1) + [join] + words(r, known, depth - 1)


def text(r, known):
    tokens = words(r, known, r.randrange(5))
    if r.random() < 0.1:  # mostly invalid from here
        at = r.randrange(len(tokens) + 1)
        tokens[at:at + r.randrange(2)] = [r.choice(["(", ")", "and", "or", "not", "@"])]
    out = ""
    for i, t in enumerate(tokens):
        glued = i and (tokens[i - 1] == "(" or t == ")") and r.random() < 0.8
        out += t if glued or not i else r.choice([" ", "  ", "\t", "\n "]) + t
    return r.choice(["", " "]) + out


def rule(r, known):
    if r.random() < 0.85:
        return text(r, known)
    return [r.choice([[], "", check(r, known), [check(r, known) for _ in range(r.randrange(4))]])
            for _ in range(r.randrange(4))]


def target(r):
    return {k: r.choice(VALUES) for k in KEYS if r.random() < 0.75}


def creds(r):
    c = {k: r.choice(VALUES) for k in ("user_id", "project_id", "is_admin", "count")
         if r.random() < 0.85}
    if r.random() < 0.9:
        c["roles"] = r.sample(ROLES, r.randrange(4))
    c["token"] = {"user": {"id": r.choice(VALUES), "on": r.choice([True, False])},
                  "roles": [{"name": r.choice(VALUES)} for _ in range(r.randrange(3))]}
    c["groups"] = [r.choice(VALUES) for _ in range(r.randrange(3))]
    return c


def known(r, keys, values, share):
    return {k: r.choice(values) for k in keys if r.random() < share}


def caller_target(r):
    return known(r, ["project_id", "user_id", "trustee_user_id", "trustee_domain_id"], CALLER, 0.8)


def caller_creds(r):
    """What a token says: the same keys as core/auth/policy_facts.c, texts only."""
    c = known(r, ["user_id", "user_name", "project_id", "project_name", "user_domain_id",
                  "user_domain_name", "trust_id"], CALLER, 0.8)
    for new, old in (("domain_id", "user_domain_id"), ("domain_name", "user_domain_name")):
        if old in c:
            c[new] = c[old]
    if r.random() < 0.3:
        c["system_scope"] = "all"
    return dict(c, is_admin=r.choice([True, False]), roles=r.sample(ROLES, r.randrange(4)))


def make_set(r):
    """Half of the sets are about callers as the services know them."""
    global KEYS, PATHS, TEXTS
    caller = r.random() < 0.5
    KEYS, PATHS, TEXTS = CALLER_WORDS if caller else DOCUMENT_WORDS
    rules = {}
    for i in range(r.randrange(2, 8)):
        rules[f"r{i}"] = rule(r, list(rules) or ["unknown"])
    if r.random() < 0.2:
        rules["default"] = r.choice(["@", "!", "role:admin"])
    names = list(rules) + ["unknown"]
    cases = [{"rule": r.choice(names), "caller": caller,
              "target": caller_target(r) if caller else target(r),
              "creds": caller_creds(r) if caller else creds(r)} for _ in range(CASES)]
    return {"rules": rules, "cases": cases, "resolve": r.random() < 0.7}


class Enforcer:
    """What the original's checks want of its enforcer."""

    def __init__(self, rules):
        self.rules = policy.Rules({k: self.read(v) for k, v in rules.items()}, "default")

    @staticmethod
    def read(rule):
        """A lone `and` or `(` comes out as that text, which cannot be asked: it never holds."""
        parsed = _parser.parse_rule(rule)
        return _checks.FalseCheck() if isinstance(parsed, str) else parsed


def decide(enforcer, case):
    try:
        chosen = enforcer.rules[case["rule"]]
    except KeyError:
        return "0"
    try:
        held = _checks._check(chosen, case["target"], case["creds"], enforcer, case["rule"])
    except TypeError:  # a path through a text: the service fails
        return "0"
    return "1" if held else "0"


def main():
    logging.disable(logging.CRITICAL)
    seed = os.environ.get("POLICY_SEED", "3")
    r = random.Random(seed)
    sets = [make_set(r) for _ in range(int(os.environ.get("POLICY_SETS", "2000")))]
    asked = "".join(json.dumps(s) + "\n" for s in sets)
    ours = subprocess.run([sys.argv[1]], input=asked, capture_output=True, text=True, timeout=120)
    lines = ours.stdout.splitlines()
    if ours.returncode or len(lines) != len(sets):
        print(f"the C side ended with {ours.returncode} after {len(lines)} sets: {ours.stderr}")
        print("0 passed, 1 failed")
        return 1
    passed = failed = held = 0
    for s, line in zip(sets, lines):
        enforcer = Enforcer(s["rules"])
        for case, got in zip(s["cases"], line, strict=True):
            want = decide(enforcer, case)
            held += want == "1"
            passed += got == want
            if got != want:
                failed += 1
                if failed <= 5:
                    print(f"DIFFERENT: ours {got}, original {want}: {case}\n  rules {s['rules']}")
    print(f"{held} of {passed + failed} cases hold (seed {seed})")
    if not 0.1 < held / (passed + failed) < 0.9:
        print("the cases are one-sided: they show nothing")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
