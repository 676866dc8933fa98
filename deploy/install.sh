#!/bin/sh
# Installs the agent as a systemd service, or removes it. See docs/installation.md.
set -eu

usage() {
	cat <<'END'
usage: deploy/install.sh [--dry-run] [--binary FILE] [--prefix DIR] [--destdir DIR]
       deploy/install.sh --uninstall [--purge] [--dry-run] [--prefix DIR] [--destdir DIR]

Puts the program, its manual pages and completions below the prefix (/usr/local), the
units below /etc/systemd/system, a file for logrotate, and config.yaml where there is
none; makes the user oracle-focus-agent. A second run changes what is out of date.

  --dry-run      tell what would be done, and do nothing
  --binary FILE  the program (default bin/oracle-focus-agent, as make build leaves it)
  --destdir DIR  put everything below DIR, for a package: no user, no systemctl
  --uninstall    remove what was installed; configuration, state, logs and user stay
  --purge        with --uninstall: remove those, too, and with them the record of what
                 was copied
END
}

name=oracle-focus-agent
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
binary=$here/../bin/$name
prefix=/usr/local
destdir=${DESTDIR:-}
dry=
action=install
purge=

fail() {
	echo "install.sh: $1" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--dry-run) dry=yes ;;
	--uninstall) action=uninstall ;;
	--purge) purge=yes ;;
	--binary | --prefix | --destdir)
		if [ $# -lt 2 ] || [ -z "$2" ]; then
			fail "$1 needs a value"
		fi
		case $1 in
		--binary) binary=$2 ;;
		--prefix) prefix=$2 ;;
		--destdir) destdir=$2 ;;
		esac
		shift
		;;
	-h | --help)
		usage
		exit 0
		;;
	*) fail "$1 is unknown; --help tells what there is" ;;
	esac
	shift
done
case $prefix in
/*[!/]) ;;
*) fail "--prefix $prefix: name a directory from the root on, such as /usr/local" ;;
esac
case $prefix in
*[!A-Za-z0-9/._-]*) fail "--prefix $prefix: use letters, digits and /._- alone, since the name stands in the units" ;;
esac
[ -z "$purge" ] || [ "$action" = uninstall ] || fail "--purge is for --uninstall"
if [ -z "$destdir" ] && [ -z "$dry" ] && [ "$(id -u)" != 0 ]; then
	fail "this needs root: use sudo, or --destdir for a tree of your own, or --dry-run to look"
fi

say() { echo "${dry:+would }$*"; }

# make MODE DIR makes a directory that is not there.
make() {
	[ -d "$destdir$2" ] && return
	say "make $2"
	[ -n "$dry" ] || install -d -m "$1" "$destdir$2"
}

# put MODE SOURCE TARGET brings a file up to date; a running program goes on with the
# old one. It sets changed.
put() {
	if [ -f "$destdir$3" ] && cmp -s "$2" "$destdir$3"; then
		return
	fi
	changed=yes
	say "write $3"
	[ -z "$dry" ] || return 0
	install -D -m "$1" "$2" "$destdir$3.new"
	mv -f "$destdir$3.new" "$destdir$3"
}

# drop removes a file or an empty directory.
drop() {
	if [ -d "$destdir$1" ]; then
		rmdir "$destdir$1" 2>/dev/null || true
	elif [ -e "$destdir$1" ]; then
		say "remove $1"
		[ -n "$dry" ] || rm -f "$destdir$1"
	fi
}

# live tells whether this is about the running system, with systemd on it.
live() { [ -z "$destdir" ] && [ -d /run/systemd/system ]; }

systemctl_() {
	say "run systemctl $*"
	[ -n "$dry" ] || systemctl "$@"
}

config=/etc/$name
state=/var/lib/$name
logs=/var/log/$name
units=/etc/systemd/system
rotation=/etc/logrotate.d/$name
bash=$prefix/share/bash-completion/completions/$name
zsh=$prefix/share/zsh/site-functions/_$name
fish=$prefix/share/fish/vendor_completions.d/$name.fish
manual=$prefix/share/man/man1

add_user() {
	[ -z "$destdir" ] || return 0
	getent passwd "$name" >/dev/null && return
	say "make the user $name"
	[ -n "$dry" ] || useradd --system --user-group --no-create-home --home-dir "$state" --shell /usr/sbin/nologin "$name"
}

# own gives a file of the configuration to the group of the agent.
own() {
	[ -n "$destdir$dry" ] || chown "root:$name" "$1"
}

add_config() {
	if [ ! -d "$destdir$config" ]; then
		make 0750 "$config"
		own "$config"
	fi
	make 0700 "$config/credentials"
	[ -e "$destdir$config/config.yaml" ] && return
	put 0640 "$here/../config.template.yaml" "$config/config.yaml"
	own "$config/config.yaml"
}

add_units() {
	changed=
	for unit in "$name.service" "$name@.service"; do
		sed "s|/usr/local/bin/|$prefix/bin/|" "$here/systemd/$unit" >"$work/$unit"
		put 0644 "$work/$unit" "$units/$unit"
	done
	put 0644 "$here/systemd/credentials.conf" "$units/$name.service.d/credentials.conf.example"
	if live && [ -n "$changed" ]; then
		systemctl_ daemon-reload
	fi
}

# make_help asks the program for its help, before anything is written: a program that
# does not run here is not installed.
make_help() {
	for shell in bash zsh fish; do
		"$binary" completion "$shell" >"$work/$shell"
	done
	"$binary" man "$work/man"
}

add_help() {
	put 0644 "$work/bash" "$bash"
	put 0644 "$work/zsh" "$zsh"
	put 0644 "$work/fish" "$fish"
	for page in "$work"/man/*; do
		put 0644 "$page" "$manual/${page##*/}"
	done
}

install_all() {
	[ -x "$binary" ] || fail "$binary is no program: run make build, or name it by --binary"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	make_help
	add_user
	changed=
	put 0755 "$binary" "$prefix/bin/$name"
	renewed=$changed
	add_config
	add_units
	put 0644 "$here/logrotate.conf" "$rotation"
	add_help
	if live && [ -n "$renewed" ] && systemctl is-active --quiet "$name"; then
		echo "an agent runs; to take the new program: systemctl restart $name"
	fi
	[ -n "$dry" ] || echo "installed; next: fill in $config/config.yaml, then systemctl enable --now $name"
}

uninstall_all() {
	if live && [ -e "$units/$name.service" ]; then
		systemctl_ disable --now "$name" "$name@scanner" "$name@copier" || true
	fi
	for file in "$prefix/bin/$name" "$units/$name.service" "$units/$name@.service" \
		"$units/$name.service.d/credentials.conf.example" "$units/$name.service.d" \
		"$rotation" "$bash" "$zsh" "$fish"; do
		drop "$file"
	done
	for page in "$destdir$manual/$name".1 "$destdir$manual/$name"-*.1; do
		drop "${page#"$destdir"}"
	done
	if live; then
		systemctl_ daemon-reload
	fi
	[ -n "$purge" ] || return 0
	for dir in "$config" "$units/$name.service.d" "$units/$name@.service.d" "$state" "$logs"; do
		[ -e "$destdir$dir" ] || continue
		say "remove $dir"
		[ -n "$dry" ] || rm -rf "${destdir}${dir:?}"
	done
	if [ -n "$destdir" ] || ! getent passwd "$name" >/dev/null; then
		return 0
	fi
	say "remove the user $name"
	[ -n "$dry" ] || userdel "$name"
}

"${action}_all"
