#!/bin/sh
# The data directory is none that the system itself uses, or that a server
# would not see: it is given another owner and mode, and kept in the image.
set -eu
: "${data_directory:=}"
case $data_directory in
'' | "${vendor_data_directory:=none}" | "$vendor_data_directory"/*)
    exit 0
    ;;
/ | /bin | /bin/* | /boot | /boot/* | /etc | /etc/* | /lib* | /opt | /sbin | \
    /sbin/* | /usr | /usr/* | /var | /var/cache | /var/lib | /var/log)
    echo "the argument data-directory is $data_directory, which the system" \
        'itself uses' >&2
    exit 1
    ;;
/dev | /dev/* | /proc | /proc/* | /run | /run/* | /sys | /sys/* | /tmp | \
    /tmp/* | /var/lock | /var/lock/* | /var/run | /var/run/* | /var/tmp | \
    /var/tmp/*)
    echo "the argument data-directory is $data_directory, which is not kept" \
        'in an image' >&2
    exit 1
    ;;
/home | /home/* | /root | /root/*)
    echo "the argument data-directory is $data_directory, which the units of" \
        'servers do not let them see' >&2
    exit 1
    ;;
esac
