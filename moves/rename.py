"""rename.py ROOT: reads lines 'module Old New' from stdin; renames top-level names wherever they are imported from there."""
import ast, io, os, re, subprocess, sys, tokenize
from pathlib import Path
os.chdir(sys.argv[1])
rules = [l.split("#")[0].split() for l in sys.stdin if l.split("#")[0].strip()]
files = [f for f in subprocess.run(["git","ls-files","*.py"],capture_output=True,text=True).stdout.split("\n") if f and Path(f).exists()]
def mod(p):
    m = p[:-3].replace("/", "."); return m[:-9] if m.endswith(".__init__") else m
def sub_names(text, old, new):
    out, lines = [], text.splitlines(keepends=True); ed = []
    toks = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for i, t in enumerate(toks):
        if t.type == tokenize.NAME and t.string == old and (i == 0 or toks[i-1].string != "."):
            # keyword arguments keep their names
            ed.append((t.start, t.end, new))
        elif t.type in (tokenize.STRING, tokenize.COMMENT) or t.type == getattr(tokenize, "FSTRING_MIDDLE", -1):
            s = re.sub(rf"`{old}\b", f"`{new}", t.string)
            if t.type == tokenize.STRING and re.fullmatch(rf"[\"'](Optional\[)?{old}\]?[\"']", s): s = s.replace(old, new)
            if s != t.string: ed.append((t.start, t.end, s))
    for (r, c), (er, ec), s in sorted(ed, reverse=True):
        if r == er:
            l = lines[r-1]; lines[r-1] = l[:c] + s + l[ec:]
        else:
            lines[r-1:er] = [lines[r-1][:c] + s + lines[er-1][ec:]]
    return "".join(lines)
for m, old, new in rules:
    hit = 0
    for f in files:
        p = Path(f); t = p.read_text()
        if old not in t: continue
        n = t
        if mod(f) == m: n = sub_names(t, old, new)
        else:
            imported = False
            for node in ast.walk(ast.parse(t)):
                if isinstance(node, ast.ImportFrom) and node.module == m and any(a.name == old and not a.asname for a in node.names): imported = True
            if imported: n = sub_names(t, old, new)
            n = re.sub(rf"\b{re.escape(m)}\.{old}\b", f"{m}.{new}", n)
            base = m.rpartition(".")[2]
            if re.search(rf"^\s*from {re.escape(m.rpartition('.')[0])} import .*\b{base}\b", n, re.M):
                n = re.sub(rf"(?<![\w.]){base}\.{old}\b", f"{base}.{new}", n)
        if n != t: p.write_text(n); hit += 1
    print(f"{m}.{old} -> {new}: {hit} files" + ("" if hit else "  !!"))
