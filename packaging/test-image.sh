#!/usr/bin/env bash
# Build both images and run them with a read-only root, as the user 10001; then compose.yaml with a relay.
#
# Needs root and Debian with buildah, podman, runc, podman-compose and debootstrap. Nothing comes from a registry of images:
# the base images are made of Debian packages and of the Go of this machine. IMAGE_STORE is a directory that keeps them for
# the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo 'test-image.sh: needs root' >&2; exit 1; }
. packaging/source.sh
work=$(mktemp -d)
chmod 755 "$work"
export STORAGE_DRIVER=${STORAGE_DRIVER:-overlay} BUILDAH_ISOLATION=chroot CONTAINERS_CONF=$work/containers.conf
keep=${IMAGE_STORE:-$work/store}
store=(--root "$keep/root" --runroot "$keep/run")
cat >"$CONTAINERS_CONF" <<EOF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
EOF
podman() { command podman "${store[@]}" "$@"; }
step() { printf '\n== %s\n' "$*"; }
die() { echo "FAILED: $*" >&2; exit 1; }
until_true() {
	for _ in $(seq 600); do
		if "$@"; then return; fi
		sleep 0.1
	done
	die "waited in vain for: $*"
}
cleanup() {
	podman rm -f -t 5 --all >/dev/null 2>&1 || true
	[ -z "${relay:-}" ] || kill "$relay" 2>/dev/null || true
	podman volume rm -f compose_spool >/dev/null 2>&1 || true
	podman unmount --all >/dev/null 2>&1 || true
	umount "$keep/root/overlay" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

# base_images makes the images that a registry has elsewhere.
base_images() {
	mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)
	debootstrap --variant=minbase bookworm "$work/base" "$mirror" >"$work/debootstrap.log" || die "$(tail "$work/debootstrap.log")"
	mkdir "$work/debian" "$work/golang"
	tar -C "$work/base" --exclude=./var/cache/apt/archives/*.deb --exclude=./var/lib/apt/lists/* -cf "$work/debian/base.tar" .
	rm -rf "$work/base"
	printf 'FROM scratch\nADD base.tar /\n' >"$work/debian/Dockerfile"
	cp /etc/ssl/certs/ca-certificates.crt "$work/golang/"
	cat >"$work/golang/Dockerfile" <<'EOF'
FROM localhost/debian:bookworm-slim
ENV PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin GOPROXY=off GOTOOLCHAIN=local GOPATH=/go
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
EOF
	buildah "${store[@]}" bud -q -t localhost/debian:bookworm-slim "$work/debian" >/dev/null
	buildah "${store[@]}" bud -q -t localhost/golang:1.26 "$work/golang" >/dev/null
}
step 'base images'
podman image exists localhost/golang:1.26 || base_images

# image TAG [ARGUMENT ...] builds an image as docs/installing.md says.
image() {
	buildah "${store[@]}" bud -q --format docker -t "$1" "${@:2}" -f packaging/Dockerfile \
		--ignorefile packaging/Dockerfile.dockerignore --build-arg VERSION=1.1.0 --build-arg COMMIT="$SOURCE_COMMIT" \
		--build-arg SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" --build-arg TARGETARCH="$(go env GOARCH)" \
		--build-arg BUILD_IMAGE=localhost/golang:1.26 --build-arg DEBIAN_IMAGE=localhost/debian:bookworm-slim \
		-v "$(go env GOROOT):/usr/local/go:ro" -v "$(go env GOMODCACHE):/go/pkg/mod" \
		-v "$(go env GOCACHE):/root/.cache/go-build" . >/dev/null
}
step 'images'
go mod download # the images find the modules in the cache of this machine
image localhost/spoolgore
image localhost/spoolgore:debian --target debian
podman images --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep spoolgore

arrived=$work/arrived
mkdir -m 777 "$arrived"
mkdir "$work/spool"
chown 10001:10001 "$work/spool"
chmod 700 "$work/spool"
python3 packaging/test-relay.py 10035 "$arrived" &
relay=$!
has_arrived() { grep -l "Subject: $1" "$arrived"/*[0-9] >/dev/null 2>&1; }
# run IMAGE ARGUMENT ... : with a read-only root. The user is that of the image.
run() {
	podman run --rm --no-healthcheck --read-only --cap-drop all --security-opt no-new-privileges --tmpfs /tmp \
		-v "$work/spool:/spool" -e SPOOLGORE_SMTPADDR=127.0.0.1:10035 "$@"
}

for image in localhost/spoolgore localhost/spoolgore:debian; do
	step "$image: version, demo, test"
	run "$image" -version | grep "^spoolgore 1\.1\.0 ($SOURCE_COMMIT, "
	run "$image" demo >"$work/demo" || die "demo: $(tail "$work/demo")"
	run "$image" test -smtpaddr 127.0.0.1:10035 b@example.org >"$work/test" 2>&1 || die "test: $(cat "$work/test")"
	grep 'The relay has' "$work/test"
	step "$image: the daemon as the user 10001"
	run -d --name daemon "$image" >/dev/null
	until_true test -e "$work/spool/.spoolgore.state"
	printf 'Subject: through %s\n\nHello!\n' "$image" |
		run -i --entrypoint /usr/local/bin/sendmail-spool "$image" -f a@example.org b@example.org
	until_true has_arrived "through $image"
	podman top daemon huser | tail -n 1 | grep -x 10001
	if podman exec daemon /usr/local/bin/spoolgore put /nowhere 2>/dev/null; then die 'put of nothing'; fi
	podman exec daemon /usr/local/bin/spoolgore check /spool
	podman exec daemon /usr/local/bin/spoolgore check -onlydaemon /spool # the HEALTHCHECK
	podman stop -t 40 daemon >/dev/null
done

step 'localhost/spoolgore:debian: a password command, -onfail'
run -d --name daemon -e SPOOLGORE_ONFAIL='cat >/tmp/failed; echo "$SPOOLGORE_FILE" >/spool/.on-fail' \
	-e SPOOLGORE_ATTEMPTS=1 localhost/spoolgore:debian >/dev/null
printf 'From: a@example.org\nTo: refused@example.org\nSubject: refused\n\nHello!\n' >"$work/spool/.refused"
chown 10001 "$work/spool/.refused"
mv "$work/spool/.refused" "$work/spool/refused"
until_true test -e "$work/spool/.on-fail"
podman stop -t 40 daemon >/dev/null
kill "$relay"
wait "$relay" || true
python3 packaging/test-relay.py 10035 "$arrived" 'me:from a command' &
relay=$!
run -d --name daemon -e SPOOLGORE_SMTPUSER=me -e SPOOLGORE_SMTPPASSWORDCMD='echo from a command' localhost/spoolgore:debian >/dev/null
printf 'From: a@example.org\nTo: b@example.org\nSubject: by a command\n\nHello!\n' >"$work/spool/command"
until_true has_arrived 'by a command'
podman stop -t 40 daemon >/dev/null

step 'localhost/spoolgore:debian: a program as a relay'
mkdir "$work/exec"
printf '#!/bin/sh\ncat >/spool/.by-a-program\n' >"$work/exec/relay"
chmod 755 "$work/exec" "$work/exec/relay"
run -d --name daemon -v "$work/exec:/exec:ro" -e SPOOLGORE_SMTPADDR=exec:/exec/relay localhost/spoolgore:debian >/dev/null
printf 'From: a@example.org\nTo: b@example.org\nSubject: to a program\n\nHello!\n' >"$work/spool/program"
until_true grep -q 'Subject: to a program' "$work/spool/.by-a-program"
until_true test ! -e "$work/spool/program"
podman stop -t 40 daemon >/dev/null

step 'compose.yaml with a relay'
mkdir "$work/compose"
cp packaging/compose.yaml packaging/test-relay.py "$work/compose/"
echo 'from a command' >"$work/compose/smtppassword"
chown 10001 "$work/compose/smtppassword"
chmod 600 "$work/compose/smtppassword"
# podman-compose has no option for another store of images, and the relay listens on the loopback address of this machine.
export SPOOLGORE_SMTPADDR=127.0.0.1:10035 SPOOLGORE_SMTPUSER=me SPOOLGORE_IMAGE=localhost/spoolgore
mkdir "$work/bin"
cat >"$work/bin/podman" <<EOF
#!/bin/bash
args=()
while [ \$# -gt 0 ]; do
	case \$1 in
	--net) args+=(--net host) && shift ;;
	--network-alias) shift ;;
	*) args+=("\$1") ;;
	esac
	shift
done
exec /usr/bin/podman --root $keep/root --runroot $keep/run "\${args[@]}"
EOF
chmod +x "$work/bin/podman"
(cd "$work/compose" && PATH=$work/bin:$PATH podman-compose -f compose.yaml up -d)
name=$(podman ps --format '{{.Names}}')
podman inspect "$name" --format '{{.HostConfig.ReadonlyRootfs}} {{.Config.User}}' | grep -x 'true 10001:10001'
printf 'Subject: through compose\n\nHello!\n' |
	podman exec -i "$name" /usr/local/bin/sendmail-spool -f a@example.org b@example.org
until_true has_arrived 'through compose'
grep 'X-Login: me' "$(grep -l 'Subject: through compose' "$arrived"/*[0-9])"
(cd "$work/compose" && PATH=$work/bin:$PATH podman-compose -f compose.yaml down)

step 'all is well'
