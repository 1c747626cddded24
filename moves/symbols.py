"""symbols.py ROOT SOURCE_MODULE TARGET_MODULE "Docstring" NAME... : move top-level names."""
import ast, sys, os, re, subprocess, builtins
from pathlib import Path
root, src, dst, doc, *names = sys.argv[1:]
os.chdir(root)
def path(m):
    p = Path(m.replace(".", "/") + ".py")
    return p if p.exists() or not Path(m.replace(".", "/")).is_dir() else Path(m.replace(".", "/"))/"__init__.py"
sp, dp = path(src), path(dst)
text = sp.read_text(); tree = ast.parse(text); lines = text.splitlines(keepends=True)
def defined(n):
    if isinstance(n, (ast.ClassDef, ast.FunctionDef)): return [n.name]
    if isinstance(n, ast.Assign): return [t.id for t in n.targets if isinstance(t, ast.Name)]
    if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name): return [n.target.id]
    return []
taken, chunks, found = [], [], set()
for i, n in enumerate(tree.body):
    d = set(defined(n)) & set(names)
    if not d: continue
    found |= d
    start = min([n.lineno] + [x.lineno for x in getattr(n, "decorator_list", [])]) - 1
    while start > 0 and lines[start-1].startswith("#") and not lines[start-1].startswith("# ---"): start -= 1
    end = n.end_lineno
    nxt = tree.body[i+1] if i+1 < len(tree.body) else None
    if isinstance(nxt, ast.Expr) and isinstance(nxt.value, ast.Constant) and isinstance(nxt.value.value, str) and not isinstance(n,(ast.ClassDef,ast.FunctionDef)):
        end = nxt.end_lineno
    taken.append((start, end)); chunks.append("".join(lines[start:end]))
if set(names) - found: sys.exit(f"not in {src}: {set(names)-found}")
imports = "".join("".join(lines[n.lineno-1:n.end_lineno]) for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom)) and not (isinstance(n, ast.ImportFrom) and n.module == "__future__"))
rest = list(lines)
for s, e in sorted(taken, reverse=True): rest[s:e] = []
top = {x for n in tree.body for x in defined(n)}
def used(code): return {n.id for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Name)} | set(re.findall(r'"([A-Za-z_]\w*)"', code))
moved_code = "\n\n\n".join(chunks)
back = sorted((used(moved_code) & top) - found)
rest_text = "".join(rest)
forth = sorted(used(rest_text) & found)
sep = "\n\n\n"
if dp.exists():
    d = dp.read_text(); dt = ast.parse(d)
    dl = d.splitlines(keepends=True)
    at = max([n.end_lineno for n in dt.body if isinstance(n, (ast.Import, ast.ImportFrom))] or [dt.body[0].end_lineno])
    pre = "".join(dl[:at]) + imports.replace("","") ; body = "".join(dl[at:]).rstrip("\n")
    new = pre + (f"from {src} import {', '.join(back)}\n" if back else "") + body + sep + moved_code
else:
    dp.parent.mkdir(parents=True, exist_ok=True)
    new = f'"""{doc}"""\n\nfrom __future__ import annotations\n\n{imports}' + (f"from {src} import {', '.join(back)}\n" if back else "") + sep + moved_code
dp.write_text(new.rstrip("\n") + "\n")
if forth:
    t = ast.parse(rest_text); rl = rest_text.splitlines(keepends=True)
    at = max(n.end_lineno for n in t.body if isinstance(n, (ast.Import, ast.ImportFrom)))
    rl.insert(at, f"from {dst} import {', '.join(forth)}\n"); rest_text = "".join(rl)
sp.write_text(rest_text)
subprocess.run(["git", "add", str(dp), str(sp)], check=True)
tracked = [f for f in subprocess.run(["git","ls-files","*.py"],capture_output=True,text=True).stdout.split("\n") if f]
for f in tracked:
    p = Path(f)
    if not p.exists() or p in (sp, dp): continue
    t = p.read_text()
    new = t.replace(f"{src}.", f"{src}.")
    for n in sorted(found): new = re.sub(rf"(?<![\w.]){re.escape(src)}\.{n}\b", f"{dst}.{n}", new)
    tr = ast.parse(new); ls = new.splitlines(keepends=True); ed = []
    for n in ast.walk(tr):
        if isinstance(n, ast.ImportFrom) and n.module == src:
            a = [x for x in n.names if x.name in found]
            if not a: continue
            b = [x for x in n.names if x.name not in found]
            ind = " " * n.col_offset; fmt = lambda xs: ", ".join(x.name + (f" as {x.asname}" if x.asname else "") for x in xs)
            out = (f"{ind}from {src} import {fmt(b)}\n" if b else "") + f"{ind}from {dst} import {fmt(a)}\n"
            ed.append((n.lineno, n.end_lineno, out))
    for s, e, o in sorted(ed, reverse=True): ls[s-1:e] = [o]
    new = "".join(ls)
    if new != t: p.write_text(new)
print(f"{src} -> {dst}: {sorted(found)}; back {back}; forth {forth}")
