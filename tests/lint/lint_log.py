# SPDX-License-Identifier: MIT
"""Log lines are fields: what log_info and its like are called with. An event
is named by words with dots between them; a format has no key twice, none that
the line has already, and no more and no longer ones than src/base/log.c
takes; a debate is debate_id wherever it is named."""
import re

import tree

CALL = re.compile(r"\blog_(?:debug|info|warning|error)\(")
LITERAL = r'"((?:[^"\\]|\\.)*)"'
# What stands before the format; an event may come from a variable.
LEAD = re.compile(r'\s*(?:' + LITERAL + r'|[a-z_>\-.]+|[^,"]+\?[^,]+),\s*')
EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$")
KEY = re.compile(r"([a-z_]+)=")
RESERVED = {"ts", "level", "prog", "pid", "event", "msg"}
FIELDS_MAX, KEY_MAX, FORMAT_MAX = 16, 32, 512
WRONG = {"debate": "debate_id", "id": "what it is the id of",
         "ms": "dur_ms", "stmt": "statement"}


def format_at(text, at):
    """The string literals from there on, joined; None: there is none."""
    parts = []
    while True:
        m = re.compile(r"\s*" + LITERAL).match(text, at)
        if not m:
            return "".join(parts) if parts else None
        parts.append(m.group(1))
        at = m.end()


def keys_of(fmt):
    """The keys as src/base/log.c finds them."""
    keys, quoted, at_word = [], False, True
    for i, c in enumerate(fmt):
        m = KEY.match(fmt, i) if at_word and not quoted else None
        if m:
            keys.append(m.group(1))
        quoted ^= c == '"'
        at_word = c == " "
    return keys


def complaints(event, fmt):
    if event is not None and not EVENT.match(event):
        yield f"event '{event}' is not words with dots between"
    fmt = fmt.replace('\\"', '"')
    if not KEY.match(fmt):
        return
    keys = keys_of(fmt)
    for key in keys:
        if key in RESERVED or keys.count(key) > 1:
            yield f"key '{key}' is there already"
        if key in WRONG:
            yield f"key '{key}': say {WRONG[key]}"
        if len(key) > KEY_MAX:
            yield f"key '{key}' is too long"
    if len(keys) > FIELDS_MAX or len(fmt) >= FORMAT_MAX:
        yield "too many fields"


def main():
    report = tree.Report()
    n = 0
    for path in tree.files(".c", under=("src", "fcgi", "ws-bridge")):
        text = tree.read(path)
        for call in CALL.finditer(text):
            lead = LEAD.match(text, call.end())
            fmt = lead and format_at(text, lead.end())
            if fmt is None:
                continue
            n += 1
            line = text.count("\n", 0, call.start()) + 1
            for why in complaints(lead.group(1), fmt):
                report.find(f"{path}:{line}", why)
    report.done(n)


if __name__ == "__main__":
    main()
