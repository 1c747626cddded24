set -e
cd $1
python3 moves/mover.py . moves/plan.txt > moves/ren.txt
sed -i 's/packages = \["metadata", "fsm", "ha_broker", "ha_agent", "lab"\]/packages = ["metadata", "world", "fsm", "ha_broker", "ha_agent", "simulation", "hosted_engine", "lab"]/; s/include = \["metadata\*", "fsm\*", "ha_broker\*", "ha_agent\*"\]/include = ["metadata*", "world*", "fsm*", "ha_broker*", "ha_agent*", "simulation*", "hosted_engine*"]/' pyproject.toml
bash moves/finish.sh
cp moves/test_tidy.py tests/unit/test_tidy.py
R=ruff
$R check --fix -q . >/dev/null || true; $R format -q .
git add -A; git commit -qm "step: moves"
bash moves/split.sh
$R check --fix -q . >/dev/null || true; $R format -q .
git add -A; git commit -qm "step: split"
python3 moves/rename.py . < moves/renames.txt | grep '!!' || true
python3 moves/fix.py
$R check --fix -q --output-format concise . || true; $R format -q .
git add -A; git commit -qm "step: renames"
