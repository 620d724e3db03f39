#!/bin/sh
# Runs once, in the chroot of the image being built; the files of rootfs/ are in place already.
set -eu

# The same machine at each build and restore: journals and credentials are bound to this id.
echo 0a1b2c3d4e5f60718293a4b5c6d7e8f9 >/etc/machine-id
rm -f /etc/resolv.conf /etc/mdadm/mdadm.conf.dpkg-*

# Databases and container engine are there, and stand still until a test starts them.
for unit in postgresql redis-server docker.service docker.socket containerd; do
	if [ -e "/usr/lib/systemd/system/$unit" ] || [ -e "/usr/lib/systemd/system/$unit.service" ]; then
		systemctl disable --quiet "$unit"
	fi
done
# Whatever wakes up by itself would disturb a test, or the figures of one.
systemctl mask --quiet \
	systemd-networkd-wait-online.service systemd-timesyncd.service systemd-resolved.service \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer man-db.timer logrotate.timer \
	fstrim.timer e2scrub_all.timer e2scrub_reap.service xfs_scrub_all.timer systemd-tmpfiles-clean.timer \
	lvm2-monitor.service lvm2-lvmpolld.socket dm-event.socket blk-availability.service \
	mdcheck_start.timer mdcheck_continue.timer mdmonitor-oneshot.timer mdmonitor.service \
	modprobe@efi_pstore.service modprobe@drm.service \
	sshd-keygen.service getty@tty1.service serial-getty@ttyS0.service
# Scanning tools must not assemble what a test put on a disk.
ln -sf /dev/null /etc/udev/rules.d/64-md-raid-assembly.rules
# Every daemon-reload runs every generator; these have nothing to do on this host.
mkdir -p /etc/systemd/system-generators
for name in debug getty gpt-auto hibernate-resume rc-local run ssh system-update sysv; do
	ln -sf /dev/null "/etc/systemd/system-generators/systemd-$name-generator"
done
systemctl enable --quiet systemd-networkd.service ssh.service

# The agent's environment, made as its installation guide says: volward itself is not in it yet.
# systemd-python is Debian's python3-systemd, hence the system's packages.
python3 -m venv --system-site-packages /opt/volward
/opt/volward/bin/pip install --quiet --no-index --find-links /opt/lab/wheels --requirement /opt/lab/agent.txt
# Qdrant's storage engine has an environment of its own: nothing of it may leak into the agent's.
python3 -m venv /opt/qdrant-engine
/opt/qdrant-engine/bin/pip install --quiet --no-index --find-links /opt/lab/wheels \
	--requirement /opt/lab/qdrant.txt

# A root file system for `docker import`: containers without a registry.
if [ -x /bin/busybox ]; then
	tree=$(mktemp -d)
	mkdir -p "$tree/bin" "$tree/etc" "$tree/tmp" "$tree/data"
	cp /bin/busybox "$tree/bin/busybox"
	for applet in $(busybox --list); do
		[ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
	done
	echo 'root:x:0:0:root:/:/bin/sh' >"$tree/etc/passwd"
	tar -C "$tree" -cf /opt/lab/busybox.tar .
	rm -rf "$tree"
fi

# The root disk is a plain one; looking for others in the initrd loads modules that measure checksums for
# two seconds at each boot.
for hook in btrfs mdadm lvm2; do
	if [ -e "/usr/share/initramfs-tools/hooks/$hook" ]; then
		chmod a-x "/usr/share/initramfs-tools/hooks/$hook"
	fi
done
# Only now: the initrd takes its module list from rootfs/.
update-initramfs -u -k all
