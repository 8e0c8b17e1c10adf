#!/bin/sh
# A container without an engine, in the network namespace that this runs in: a root of its own, of which nothing
# can be written but what is mounted, processes of its own, and no rights.
#   container.sh NAME USER ROOT MOUNTS COMMAND...
# MOUNTS names a file with a line "source<tab>target<tab>ro|rw" for each folder or file.
set -eu
name=$1 user=$2 root=$3 mounts=$4
shift 4
hostname "$name"
mount -t tmpfs -o mode=755 tmpfs "$root"
for folder in bin sbin lib lib32 lib64; do
  [ ! -L "/$folder" ] || cp -P "/$folder" "$root/"
done
tab=$(printf '\t')
while IFS="$tab" read -r source target mode; do
  if [ -d "$source" ]; then
    mkdir -p "$root$target"
  else
    mkdir -p "$(dirname "$root$target")"
    touch "$root$target"
  fi
  mount --rbind "$source" "$root$target"
  [ "$mode" = rw ] || mount -o remount,bind,ro "$root$target"
done < "$mounts"
mkdir -p "$root/proc" "$root/sys" "$root/dev/shm"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
for device in null zero full random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mkdir -p "$root/mmsa"
mount -o remount,ro "$root"
# The first process of a container gets no signal that it does not ask for, so it is this shell.
# shellcheck disable=SC2016
exec /usr/sbin/chroot --userspec="$user" --groups="" "$root" /bin/sh -c \
  'cd /mmsa; trap "kill -TERM \$child" TERM; "$@" & child=$!; while :; do wait $child && code=0 || code=$?;
   kill -0 $child 2> /dev/null || exit $code; done' sh "$@"
