# Read by .ci/run and .ci/full: both start in the root of the repository with it.
set -euo pipefail
export GOFLAGS=-buildvcs=false CI=true # with CI set, a test that cannot have what it needs fails
export DEBIAN_FRONTEND=noninteractive
mkdir -p .ci/bin

# step NAME begins a step and prints what the one before has taken: time on the clock, and of processors.
step() {
	finish
	printf '\n== %s\n' "$*"
	step_name=$* step_began=$SECONDS step_processor=$processor
}
finish() {
	[ ${#unstable[@]} = 0 ] || printf 'UNSTABLE: %s\n' "${unstable[@]}"
	count_processor
	[ -z "${step_name:-}" ] || printf -- '-- %s: %d s, processor %d s\n' "$step_name" $((SECONDS - step_began)) $((processor - step_processor))
	step_name=
}
trap finish EXIT

# count_processor sets processor to the seconds, user and system, of all child processes that have ended. (In $(...) times
# would count from there.)
count_processor() {
	times >.ci/bin/times
	processor=$(awk -F '[ms ]+' 'NR == 2 { print int($1 * 60 + $2 + $3 * 60 + $4) }' .ci/bin/times)
}

# beside FUNCTION runs a function while the next steps run, as they often wait. await_beside prints what the function
# has printed, and fails if the function has failed.
beside() {
	"$1" >.ci/bin/beside.log 2>&1 &
	beside_process=$!
	renice -n 10 "$beside_process" >/dev/null
}
await_beside() {
	local code=0
	wait "$beside_process" || code=$?
	cat .ci/bin/beside.log
	return "$code"
}

# in_memory DIRECTORY makes a directory for temporary files on a file system in memory, where there is one with 2 GiB
# free; elsewhere TMPDIR stays what it was.
in_memory() {
	local free
	free=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
	[ "${free:-0}" -gt 2097152 ] || return 0
	memory=$(mktemp -d /dev/shm/spoolgore-ci.XXXXXX)
	chmod 755 "$memory" # some tests run as another user
	trap 'rm -rf "$memory"; finish' EXIT
}

# may_install tells whether programs can be installed here.
may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# need PACKAGE ... installs packages that are not there yet.
need() {
	local package missing=()
	for package; do
		dpkg -s "$package" 2>/dev/null | grep -q '^Status: install ok' || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	[ -n "${updated:-}" ] || apt-get -qq update
	updated=yes
	apt-get -qq -y --no-install-recommends install "${missing[@]}" >/dev/null
}

# staticcheck [DIRECTORY] checks a module with the version named here, which is built once for each version of Go.
staticcheck() {
	local version=v0.8.2 bin
	bin=$PWD/.ci/bin/staticcheck-$version-$(go env GOVERSION)
	if [ ! -x "$bin" ]; then
		GOBIN=$PWD/.ci/bin go install "honnef.co/go/tools/cmd/staticcheck@$version"
		mv .ci/bin/staticcheck "$bin"
	fi
	(cd "${1:-.}" && "$bin" ./...)
}

# run_tests FLAG ... -- PACKAGE ... is go test. A test that fails is run three times more by itself. If it passes each
# time, the run goes on, and the end of the run lists the test as UNSTABLE: its result depends on the load of the machine,
# which is a fault of the test, to be mended. A panic, a data race, a limit of time and a package that cannot be built
# always end the run.
run_tests() {
	local log=$tests_log flags=() package names again=
	while [ "$1" != -- ]; do
		flags+=("$1")
		shift
	done
	shift
	! go test "${flags[@]}" "$@" 2>&1 | tee "$log" || return 0
	! grep -qE '^panic:|^fatal error:|DATA RACE|\[(build|setup) failed\]' "$log" || return 1
	while read -r package names; do
		[ -n "$names" ] || return 1
		echo "again, three times: $package $names"
		go test "${flags[@]}" -count 3 -run "^($names)\$" "$package" || return 1
		unstable+=("$package $names")
		again=yes
	done < <(awk '/^--- FAIL: / { names = names (names == "" ? "" : "|") $3 }
		/^(ok|FAIL)[ \t]+[^ \t]/ { if ($1 == "FAIL") print $2, names; names = "" }' "$log")
	[ -n "$again" ]
}
unstable=() tests_log=$PWD/.ci/bin/tests.log

# vulnerabilities looks for known vulnerabilities of the modules that are called, in the Go vulnerability database. Without
# the database the step is left out, and it says so.
vulnerabilities() {
	local version=v1.9.0 bin out code=0
	bin=.ci/bin/govulncheck-$version-$(go env GOVERSION)
	if [ ! -x "$bin" ]; then
		if ! GOBIN=$PWD/.ci/bin go install "golang.org/x/vuln/cmd/govulncheck@$version"; then
			echo 'LEFT OUT: govulncheck cannot be installed'
			return 0
		fi
		mv .ci/bin/govulncheck "$bin"
	fi
	out=$("$bin" ./... 2>&1) || code=$?
	case $code in
	0 | 3) printf '%s\n' "$out" ;; # 3: vulnerabilities were found
	*)
		grep -qE 'dial tcp|no such host|fetching vulnerabilities|Client.Timeout|unexpected status|proxyconnect' <<<"$out" ||
			{ printf '%s\n' "$out"; return "$code"; }
		echo "LEFT OUT: known vulnerabilities: the database cannot be reached: $(tail -n 1 <<<"$out")"
		return 0
		;;
	esac
	return "$code"
}

# compile_for OS ... compiles all packages for other systems, without the linker.
compile_for() {
	local os
	for os; do
		GOOS=$os GOARCH=amd64 CGO_ENABLED=0 go build ./...
		echo "$os: ok"
	done
}

# build_for OS ... compiles and links both commands, which must not depend on C, for other systems.
build_for() {
	local os
	for os; do
		GOOS=$os GOARCH=amd64 CGO_ENABLED=0 go build -o /dev/null ./cmd/spoolgore ./cmd/sendmail-spool
		echo "$os: ok"
	done
}

# vet_for OS ... vets everything, tests included, for other systems.
vet_for() {
	local os
	for os; do GOOS=$os GOARCH=amd64 CGO_ENABLED=0 go vet ./...; done
}

# unpack DIRECTORY PACKAGE ... unpacks packages that cannot be installed beside Postfix into .ci/DIRECTORY, once.
unpack() {
	local name=$1 debs
	shift
	[ ! -d ".ci/$name/usr" ] || return 0
	debs=$(mktemp -d)
	(cd "$debs" && apt-get -qq download "$@")
	for deb in "$debs"/*.deb; do dpkg -x "$deb" ".ci/$name"; done
	rm -r "$debs"
}

# unpack_of RELEASE DIRECTORY PACKAGE ... is unpack for packages of another release of Debian, with lists and a cache of its own.
# A program of that release runs where the directory lies over /usr, with its own C library.
unpack_of() {
	local release=$1 name=$2 apt deb
	shift 2
	[ ! -d ".ci/$name/usr" ] || return 0
	apt=$(mktemp -d)
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/debs"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $release main" >"$apt/list"
	local options=(-qq -o "Dir::Etc::SourceList=$apt/list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$apt/lists"
		-o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
	if apt-get "${options[@]}" update && (cd "$apt/debs" && apt-get "${options[@]}" download "$@"); then
		for deb in "$apt"/debs/*.deb; do dpkg -x "$deb" ".ci/$name"; done
	else
		echo "LEFT OUT: $* of Debian $release"
	fi
	rm -r "$apt"
}

# need_everything installs what the longest run uses. Other mail servers than Postfix are only unpacked.
need_everything() {
	need_a_little
	need_postgresql
	need pgbouncer python3-psycopg2 php-pgsql # of the fleet's tests
	need s-nail mutt git-email libmailtools-perl at php-cli php-symfony-mailer php-swiftmailer libemail-sender-perl ruby-mail \
		swaks libphp-phpmailer python3-django ruby-actionmailer python3-flask-mail smartmontools nmh chromium # which looks at the page of -http
	local module
	need libidn12 libgnutls-dane0 libdb5.3 libnsl2 libpcre2-8-0 libwrap0 libevent-2.1-7 libsasl2-modules openssl
	unpack exim exim4-daemon-light
	unpack opensmtpd opensmtpd
	unpack_of trixie opensmtpd7 opensmtpd libc6 libcrypt1 libdb5.3t64 libevent-2.1-7t64 libpam0g libssl3t64 zlib1g libzstd1 libaudit1 libcap-ng0
	unpack sendmail sendmail-bin liblockfile1
	unpack proxies microsocks tinyproxy-bin
	for module in nodemailer@10 playwright-core@1 axe-core@4; do
		[ ! -d ".ci/npm/node_modules/${module%@*}" ] || continue
		command -v npm >/dev/null || need nodejs npm
		npm install --silent --no-audit --no-fund --prefix .ci/npm "$module"
	done
}

# need_for_packages installs what the tests of packages use. Prometheus is only unpacked, as its package starts a server.
need_for_packages() {
	need openssh-client lintian php-cli shellcheck mksh libxml2-utils systemd rpm cpio \
		buildah podman runc podman-compose debootstrap ca-certificates
	export PROMTOOL=$PWD/.ci/prometheus/usr/bin/promtool
	if [ ! -x "$PROMTOOL" ]; then
		local debs
		debs=$(mktemp -d)
		(cd "$debs" && apt-get -qq download prometheus)
		dpkg -x "$debs"/prometheus_*.deb .ci/prometheus
		rm -r "$debs"
	fi
	if [ -z "${NFPM:-}" ]; then # once for all tests
		export NFPM=$PWD/.ci/bin/nfpm
		(cd packaging/tools && go build -o "$NFPM" github.com/goreleaser/nfpm/v2/cmd/nfpm)
	fi
}

# need_postgresql installs the server of the fleet's tests, which start servers of their own.
need_postgresql() {
	[ -n "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || need postgresql
	[ -n "$(ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null)" ] || need libfaketime
}

# need_a_little installs what .ci/run uses: what -race needs, what tests look through, and a few programs that send mail.
need_a_little() {
	dpkg -s postfix >/dev/null 2>&1 ||
		{ command -v debconf-set-selections >/dev/null && debconf-set-selections <<<'postfix postfix/main_mailer_type select No configuration'; }
	command -v gcc >/dev/null || need gcc libc6-dev
	command -v python3 >/dev/null || need python3
	need postfix strace mandoc systemd bsd-mailx cron curl jq
}
