# Read by tests of packages that need root.

# in_a_copy DIRECTORY SCRIPT runs SCRIPT in a copy of this machine that is gone afterwards: an overlay on /, with processes
# of its own. DIRECTORY/host is /tmp/host there, SCRIPT a file in it, and /tmp/upper what differs from the machine.
in_a_copy() {
	# The upper layer is in memory, since it cannot be on the file system that it covers.
	mkdir "$1/over"
	mount -t tmpfs none "$1/over"
	mkdir "$1/over/upper" "$1/over/work" "$1/over/root"
	unshare --mount --pid --fork --kill-child --uts sh -euc '
		hostname host.example
		mount -t overlay none -o "lowerdir=/,upperdir=$1/over/upper,workdir=$1/over/work" "$1/over/root"
		cd "$1/over/root"
		mount -t proc proc proc
		mount --rbind /dev dev
		for dir in run tmp var/spool/cron; do mount -t tmpfs -o mode=755 none "$dir"; done
		chmod 1777 tmp
		mkdir tmp/host tmp/upper
		mount --bind "$1/host" tmp/host
		mount --bind -o ro "$1/over/upper" tmp/upper
		exec chroot . /bin/bash -eu "/tmp/host/$2"
	' sh "$1" "$2"
}
