# Sourced with what is not done without them, such as "API not checked", by scripts that need programs which
# may be missing: with --if-possible as first argument they say so and are content, else they stop with an error.
undone=$1
if_possible=no
[ "${2:-}" = --if-possible ] && if_possible=yes

give_up() {
    echo "$undone: $1" >&2
    [ "$if_possible" = yes ] && exit 0
    exit 1
}
