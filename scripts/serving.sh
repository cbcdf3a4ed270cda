# Sourced by scripts that need running servers: `serve OPTIONS` starts one and sets $address to where it is.
# All end with the script.
program=$(realpath -m "${CARGO_TARGET_DIR:-target}")/release/strdiffusion

servers=()
trap '[ ${#servers[@]} = 0 ] || kill "${servers[@]}"' EXIT
# The server says its address when it is there; with port 0 the system picks one that is free.
serve() {
    local log
    log=$(mktemp)
    "$program" serve --listen 127.0.0.1:0 "$@" >"$log" 2>&1 &
    servers+=($!)
    until address=$(grep -om1 'http://127.0.0.1:[0-9]*' "$log"); do
        kill -0 "${servers[-1]}" 2>/dev/null || { cat "$log" >&2; exit 1; }
        sleep 0.1
    done
    rm "$log"
}
