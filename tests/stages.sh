# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The stages of ./dev test, which sources this: each a function that fails or not, its output in a
# log of its own, and at the end the sum of the cases that the test programs said they ran.

# name, budget in seconds on two cores with nothing cached, what it is
stages=(
  "lint 260 clang-format, clang-tidy with clang's warnings, include directions, house rules"
  "unit 340 doctest suites, GCC"
  "binary 150 the shipped binary: static, hardened, small (with LTO too)"
  "asan 420 the same doctest suites under ASan and UBSan; repeats are not counted again"
  "tsan 90 the suite 'threads' under TSan; repeats are not counted again"
  "kubernetes 530 the suite 'k8s_api', tests/{kubernetes,manifests,cmd,bench}: a real API server"
  "fuzz 340 tests/fuzz: each target for a minute (EGW_FUZZ_SECONDS), with ASan and UBSan"
  "netns 110 the suite 'netns': the kernel, in network namespaces"
  "e2e 270 tests/lab and tests/e2e: all roles as processes, real packets"
  "cluster 120 tests/cluster: egw's manifests in a real Kubernetes of three nodes"
)

# Runs beside those that come after it, which mostly wait, on what they leave of the processors.
beside=fuzz

# doctest DIR SUITE...: runs those suites of the test programs of a build folder; the array `within`
# may name a command to run them under.
doctest() {
  local dir=$1 suites=()
  shift
  ninja -C "$dir"
  for suite; do suites+=(--suite "$suite"); done
  [ "$(meson test -C "$dir" "${suites[@]}" --list | wc -l)" -gt 0 ] || return 0
  "${within[@]}" meson test -C "$dir" "${suites[@]}" --no-rebuild --verbose --num-processes 2
}

# pytest FOLDER: nothing where there is no such folder yet; a folder without a test is a mistake.
pytest() {
  [ -d "$1" ] || return 0
  python3 -m pytest -q -p no:cacheprovider "$@"
}

stage_lint() { # to the end, whatever fails: one run tells all
  local sources names bad=0 PATH=$cache/$(clang_tidy)/clang_tidy/data/bin:$PATH
  mapfile -t names < <(git ls-files --cached --others --exclude-standard)
  mapfile -t sources < <(printf '%s\n' "${names[@]}" | grep -E '^(src|tests)/.*\.(cpp|hpp)$')
  clang-format --dry-run -Werror "${sources[@]}" || bad=1
  python3 tests/lint/include_directions.py src || bad=1
  python3 tests/lint/house.py . "${names[@]}" || bad=1
  pytest tests/lint || bad=1
  CC=clang CXX=clang++ setup build-clang
  ninja -C build-clang version.cpp subprojects/cpp-httplib/split/httplib.h || bad=1
  python3 tests/lint/tidy.py build-clang "$cache/tidy" || bad=1
  return $bad
}

stage_unit() {
  setup build
  doctest build unit oracle threads
}

stage_binary() {
  do_build
  do_build --release
  EGW_BIN=build/egw EGW_RELEASE_BIN=build-release/egw pytest tests/binary
}

# Sanitizers by clang, which needs half of GCC's time, and its linker, which needs a tenth of GNU's;
# addr2line names the lines in their reports.
export ASAN_OPTIONS=external_symbolizer_path=/usr/bin/addr2line
export TSAN_OPTIONS=$ASAN_OPTIONS:suppressions=$top/tests/tsan.supp
export UBSAN_OPTIONS=$ASAN_OPTIONS:halt_on_error=1:print_stacktrace=1

setup_asan() {
  CC=clang CXX=clang++ CXX_LD=lld setup build-asan -Db_sanitize=address,undefined -Db_lundef=false \
    -Doptimization=0 -Dfuzz=true
}

stage_asan() {
  setup_asan
  doctest build-asan unit oracle threads
}

stage_tsan() { # builds those programs alone that have such tests
  local folders
  mapfile -t folders < <(grep -rlE '(test_suite|TEST_SUITE(_BEGIN)?)\("threads"\)' tests \
    --include='*_test.cpp' | cut -d / -f 2 | sort -u)
  CC=clang CXX=clang++ CXX_LD=lld setup build-tsan -Db_sanitize=thread -Db_lundef=false \
    -Doptimization=0
  meson compile -C build-tsan "${folders[@]/#/test-}"
  meson test -C build-tsan --suite threads --no-rebuild --verbose --num-processes 2 "${folders[@]}"
}

build_fuzz() {
  setup_asan
  python3 tests/fuzz/run.py --build-only build-asan
}

stage_fuzz() {
  build_fuzz
  python3 tests/fuzz/run.py build-asan
}

stage_kubernetes() {
  do_build
  kubernetes
  local within=(python3 tests/kubernetes/with_server.py)
  doctest build k8s_api
  pytest tests/manifests
  # Of the oldest Kubernetes it is the schemas, roles and the client's protocol that may differ.
  [ "${EGW_KUBERNETES:-}" != oldest ] || return 0
  # Most of the time they wait: three sets of servers side by side, each file in one of them.
  pytest tests/kubernetes -n 3 --dist loadfile
  pytest tests/cmd
  pytest tests/bench
}

stage_netns() {
  setup build
  doctest build netns
}

stage_e2e() {
  do_build
  kubernetes
  pytest tests/lab
  # Most of the time they wait: the clusters of both CNIs side by side.
  pytest tests/e2e -n 2 --dist loadgroup
}

stage_cluster() {
  do_build
  kubernetes
  pytest tests/cluster
}

# Sums what the test programs themselves said in a stage's log: the last lines of doctest, pytest
# and tests/fuzz/run.py.
count() {
  sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
    /\[doctest\] test cases:|^\[fuzz\] targets:/ {
      gsub(/[^0-9]+/, " ")
      passed += $2
      failed += $3
    }
    /^=*[ ]?([0-9]+ [a-z]+, )*[0-9]+ (passed|failed|errors?|skipped).* in [0-9.]+s/ {
      for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed/) passed += $(i - 1)
        if ($i ~ /^(failed|error)/) failed += $(i - 1)
      }
    }
    END { print passed + 0, failed + 0 }'
}

# try FUNCTION LOG: sets `status`; what the function says goes to the log.
try() {
  set +e # and not `if ( ... )`, which would switch errexit off inside
  (set -e; "$1") >>"$2" 2>&1 </dev/null
  status=$?
  set -e
}

# tell NAME BUDGET SECONDS STATUS: one stage's line and its part of the sum.
tell() {
  local name=$1 budget=$2 took=$3 status=$4 log=$logs/$1.log passed failed
  read -r passed failed < <(count "$log")
  if [ "$status" != 0 ]; then
    tail -n 120 "$log"
    echo "stage $name failed (status $status; all of it: $log)"
    [ "$failed" != 0 ] || failed=1 # what broke was no test case, yet the sum must not look good
  fi
  printf '   %-10s %4d s of %4d   %d passed, %d failed%s\n' "$name" "$took" "$budget" \
    "$passed" "$failed" "$([ "$took" -le "$budget" ] || echo '   OVER ITS BUDGET')"
  case $name in asan | tsan) passed=0 ;; esac
  all_passed=$((all_passed + passed)) all_failed=$((all_failed + failed))
}

# start_beside NAME BUDGET: builds what it needs, then goes on in a process group of its own.
start_beside() {
  beside_started=$SECONDS beside_name=$1 beside_budget=$2
  try "build_$1" "$logs/$1.log"
  if [ $status != 0 ]; then
    tell "$1" "$2" $((SECONDS - beside_started)) $status
    return
  fi
  set -m
  (
    chrt --idle --pid 0 $BASHPID
    try "stage_$1" "$logs/$1.log"
    echo $((SECONDS - beside_started)) >"$logs/$1.took"
    exit $status
  ) &
  set +m
  beside_pid=$!
  trap 'kill -- -$beside_pid 2>/dev/null || true' EXIT
}

end_beside() {
  status=0
  wait "$beside_pid" || status=$?
  trap - EXIT
  tell "$beside_name" "$beside_budget" "$(cat "$logs/$beside_name.took")" $status
}

run_stages() {
  local name budget what started status wanted=" $* " logs=$top/build-logs
  local all_passed=0 all_failed=0 beside_pid="" beside_name beside_budget beside_started
  mkdir -p "$logs"
  for name in "$@"; do
    printf '%s\n' "${stages[@]}" | grep -q "^$name " ||
      die "no stage is called '$name': ./dev test --list tells them"
  done
  for stage in "${stages[@]}"; do
    read -r name budget what <<<"$stage"
    [ "$wanted" = "  " ] || [[ $wanted == *" $name "* ]] || continue
    say "$name: $what"
    : >"$logs/$name.log"
    if [ "$name" = "$beside" ] && [ "$wanted" != " $name " ]; then
      start_beside "$name" "$budget"
      continue
    fi
    started=$SECONDS
    try "stage_$name" "$logs/$name.log"
    tell "$name" "$budget" $((SECONDS - started)) $status
  done
  [ -z "$beside_pid" ] || end_beside
  echo "$all_passed passed, $all_failed failed"
  [ "$all_failed" = 0 ]
}
