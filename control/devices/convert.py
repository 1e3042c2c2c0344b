"""Writes the rules of a `regexes.yaml` that control uses, as JSON with one rule a line. Needs PyYAML."""

import json
import sys

import yaml

with open(sys.argv[1], encoding="utf-8") as file:
    rules = yaml.safe_load(file)
parts = []
for kind in ("user_agent_parsers", "os_parsers"):
    lines = [json.dumps({key: str(value) for key, value in rule.items()}, ensure_ascii=False) for rule in rules[kind]]
    parts.append(f'  "{kind}": [\n    ' + ",\n    ".join(lines) + "\n  ]")
print("{\n" + ",\n".join(parts) + "\n}")
