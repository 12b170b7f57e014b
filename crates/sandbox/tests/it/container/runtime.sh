#!/bin/sh
# A container runtime as its callers see one: what it runs outlives its own command, and is only
# ended by `kill` and `rm`. It writes down all it is told; nothing is isolated.
state=$(dirname "$0")/state
mkdir -p "$state"

verb=$1
shift
case $verb in
info)
    [ -e "$state/broken" ] && { echo "Cannot connect to the daemon" >&2; exit 1; }
    echo '{"ServerVersion":"1.0","MemoryLimit":true,"PidsLimit":true,"SecurityOptions":["name=seccomp,profile=builtin"]}'
    ;;
run)
    printf '%s\n' "$@" >"$state/argv"
    tr '\0' '\n' <"/proc/$$/environ" >"$state/environ"
    set -- "$@" --end
    entrypoint=
    while :; do
        case $1 in
        --name=*) name=${1#*=} ;;
        --cidfile=*) cidfile=${1#*=} ;;
        --label=doorward.life=*) life=${1#*life=} ;;
        --label=doorward.instance=*) instance=${1#*instance=} ;;
        --entrypoint=*) entrypoint=${1#*=} ;;
        --env-file=*)
            stat -c %a "${1#*=}" >"$state/mode"
            while IFS= read -r line; do set -- "$@" --var "$line"; done <"${1#*=}"
            ;;
        --env=*=*) set -- "$@" --var "${1#*=}" ;;
        --env=*) eval "set -- \"\$@\" --var \"${1#*=}=\$${1#*=}\"" ;;
        --*) ;;
        *) image=$1; shift; break ;;
        esac
        shift
    done
    if [ "$image" = "missing" ]; then
        echo "Unable to find image 'missing' locally, said $TOKEN" >&2
        exit 125
    fi
    # The words of the command stand before `--end`, the variables after it.
    command=$(mktemp)
    { printf 'exec env -i PATH=/usr/bin:/bin'; } >"$command"
    words=
    while [ "$1" != --end ]; do words="$words '$(printf %s "$1" | sed "s/'/'\\\\''/g")'"; shift; done
    shift
    while [ "$1" = --var ]; do printf " '%s'" "$(printf %s "$2" | sed "s/'/'\\\\''/g")" >>"$command"; shift 2; done
    printf ' %s%s' "$entrypoint" "$words" >>"$command"
    exec 3<&0
    setsid sh "$command" <&3 &
    echo $! >"$state/$name.pid"
    echo "$instance" >"$state/$name.instance"
    echo "$life" >"$state/$name.life"
    [ -n "$cidfile" ] && echo "$name" >"$cidfile"
    exec 3<&- 0</dev/null
    wait $!
    code=$?
    rm -f "$command" "$state/$name".*
    exit $code
    ;;
kill)
    echo "kill $*" >>"$state/log"
    [ -e "$state/$3.pid" ] || { echo "No such container" >&2; exit 1; }
    kill -s "$2" -- "-$(cat "$state/$3.pid")"
    ;;
rm)
    echo "rm $*" >>"$state/log"
    for name; do :; done
    if [ -e "$state/$name.pid" ]; then
        group=-$(cat "$state/$name.pid")
        tries=0
        # Gone is gone: it waits for that, as a real one does.
        while kill -s KILL -- "$group" 2>/dev/null && [ $tries -lt 60 ]; do
            tries=$((tries + 1))
            sleep 0.05
        done
    fi
    rm -f "$state/$name".*
    ;;
ps)
    for name; do :; done
    grep -lx "${name#label=doorward.instance=}" "$state"/*.instance 2>/dev/null |
        sed 's!.*/!!; s!\.instance$!!'
    ;;
inspect)
    for name; do :; done
    cat "$state/$name.life"
    ;;
esac
