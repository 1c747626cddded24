"""Move modules of a checkout by a plan; rewrites imports, dotted names and paths."""
import ast, os, re, subprocess, sys, tokenize, io
from pathlib import Path
root = Path(sys.argv[1]).resolve(); plan = Path(sys.argv[2])
os.chdir(root)
moves = {}
for line in plan.read_text().splitlines():
    line = line.split("#")[0].strip()
    if line:
        a, b = line.split(); moves[a] = b
def mod(p): 
    m = p[:-3].replace("/", "."); return m[:-9] if m.endswith(".__init__") else m
modmap = {mod(a): mod(b) for a, b in moves.items()}
tracked = [f for f in subprocess.run(["git","ls-files"],capture_output=True,text=True).stdout.split("\n") if f]
SKIP = ("tests/scenarios/",)
texts = [f for f in tracked if not (f.startswith(SKIP) and f.endswith("expect.log")) and Path(f).is_file()]
# --- git mv
missing=[a for a in moves if not Path(a).exists()]
if missing: sys.exit(f"missing: {missing}")
for a, b in moves.items():
    Path(b).parent.mkdir(parents=True, exist_ok=True)
tmp = {}
for a, b in moves.items():
    subprocess.run(["git","mv",a,a+".moving"],check=True); tmp[a]=b
for a, b in tmp.items():
    subprocess.run(["git","mv",a+".moving",b],check=True)
where = {f: moves.get(f, f) for f in texts}
longest = sorted(modmap, key=len, reverse=True)
dotted = re.compile(r"(?<![\w.\x00])(" + "|".join(re.escape(m) for m in longest if "." in m) + r")(?![\w])(?!/)")
paths = {a: b for a, b in moves.items()}
pathre = re.compile(r"(?<![\w/])(" + "|".join(re.escape(p) for p in sorted(paths, key=len, reverse=True)) + r")(?!\w)")
def rewrite_py(text, name):
    tree = ast.parse(text)
    lines = text.splitlines(keepends=True)
    edits = []  # (startline, endline, newtext)
    renames = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            groups = {}
            changed = False
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in modmap:
                    new = modmap[full]; pkg, _, base = new.rpartition(".")
                    if not pkg: raise SystemExit(f"top-level {new} in {name}")
                    changed = True
                    if alias.asname or base == alias.name:
                        asn = alias.asname
                    else:
                        renames[alias.name] = base; asn = None
                    groups.setdefault(pkg, []).append((base, asn))
                else:
                    target = modmap.get(node.module, node.module)
                    changed |= target != node.module
                    groups.setdefault(target, []).append((alias.name, alias.asname))
            if changed:
                indent = " " * node.col_offset
                out = "".join(f"{indent}from \0{m} import " + ", ".join(n + (f" as {a}" if a else "") for n, a in names) + "\n" for m, names in groups.items())
                edits.append((node.lineno, node.end_lineno, out))
    for start, end, out in sorted(edits, reverse=True):
        # keep a trailing comment
        last = lines[end-1]; 
        m = re.search(r"\s#.*$", last.rstrip("\n")) if "#" in last else None
        if m: out = out.rstrip("\n") + "  " + m.group(0).strip() + "\n"
        lines[start-1:end] = [out]
    text = "".join(lines)
    if renames:
        toks = list(tokenize.generate_tokens(io.StringIO(text).readline))
        ls = text.splitlines(keepends=True); ed = []
        inimport = False
        for i, t in enumerate(toks):
            if t.type == tokenize.NAME and t.string in renames:
                prev = toks[i-1].string if i else ""; nxt = toks[i+1].string if i+1 < len(toks) else ""
                if prev != "." and prev not in ("import","from") and (nxt in (".", ",", ")", "]") ) and not (nxt == "=" ):
                    line = ls[t.start[0]-1]
                    if re.match(r"\s*(from|import)\s", line): continue
                    ed.append((t.start, t.end, renames[t.string]))
        for (r, c), (_, e), new in sorted(ed, reverse=True):
            l = ls[r-1]; ls[r-1] = l[:c] + new + l[e:]
        text = "".join(ls)
    return text, renames
report = {}
for f in texts:
    p = Path(where[f])
    try: text = p.read_text(encoding="utf-8")
    except UnicodeDecodeError: continue
    new = text
    if f.endswith(".py"):
        new, ren = rewrite_py(new, f)
        if ren: report[where[f]] = ren
    new = dotted.sub(lambda m: modmap[m.group(1)], new)
    new = pathre.sub(lambda m: paths[m.group(1)], new)
    new = new.replace('\0', '')
    if new != text: p.write_text(new, encoding="utf-8")
for f, r in report.items(): print(f, r)
