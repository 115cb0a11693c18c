# shellcheck shell=bash
# The machine below any engine: proxies, volumes, packages and downloads. Sourced after common.sh; an
# engine defines no_proxy_list (what its nodes reach without a proxy).

# ---- proxies ----

has_proxy() { [ -n "${HTTP_PROXY:-}${HTTPS_PROXY:-}" ]; }
export_proxies() {
    has_proxy || return 0
    [ -n "${NO_PROXY_WHOLE:-}" ] || NO_PROXY_WHOLE=$(no_proxy_list)
    export http_proxy=${HTTP_PROXY:-} https_proxy=${HTTPS_PROXY:-} no_proxy=$NO_PROXY_WHOLE
    export HTTP_PROXY HTTPS_PROXY NO_PROXY=$NO_PROXY_WHOLE
}
proxy_drop_in() { # unit
    has_proxy || return 0
    put_file "/etc/systemd/system/$1.d/20-magnum-proxy.conf" 0600 <<TEXT
[Service]
Environment="HTTP_PROXY=${HTTP_PROXY:-}" "HTTPS_PROXY=${HTTPS_PROXY:-}" "NO_PROXY=${NO_PROXY_WHOLE:-$(no_proxy_list)}"
TEXT
}

# ---- volumes ----

# Cinder's volumes show their id, cut by some drivers, in the names of their devices.
device_of() { # volume id
    local name
    for name in "virtio-${1:0:20}" "virtio-$1" "scsi-0QEMU_QEMU_HARDDISK_${1:0:20}" "scsi-0QEMU_QEMU_HARDDISK_$1" \
        "wwn-0x${1//-/}"; do
        if [ -b "/dev/disk/by-id/$name" ]; then
            readlink -f "/dev/disk/by-id/$name"
            return 0
        fi
    done
    echo "no device shows volume $1" >&2
    return 1
}
# Made a file system once, mounted at every boot. What has one already is never formatted.
mount_volume() { # volume id, directory, label
    local device kind
    [ -n "$1" ] || return 0
    if mountpoint -q "$2"; then
        return 0
    fi
    ! command -v udevadm >/dev/null || udevadm settle --timeout=60 || true
    device=$(retry device_of "$1")
    kind=$(blkid -p -s TYPE -o value "$device") || kind=
    if [ -z "$kind" ]; then
        # blkid finds nothing in an empty device, but fails also when it can't read: then this does too
        head -c 1 "$device" >/dev/null
        kind=ext4
        mkfs.ext4 -q -L "$3" "$device"
    fi
    mkdir -p "$2"
    grep -q " $2 " /etc/fstab 2>/dev/null ||
        printf 'LABEL=%s %s %s defaults,nofail,x-systemd.device-timeout=120s 0 2\n' "$3" "$2" "$kind" >>/etc/fstab
    mount -t "$kind" "$device" "$2"
}

# ---- packages and downloads ----

checked() { # file, sha256 or ""
    [ -z "$2" ] || sha256sum --check --status <<<"$2  $1"
}
# Downloads once; a file that is there and fits its checksum is not asked for again.
download() { # url, file, sha256 or ""
    if [ -s "$2" ] && [ -n "$3" ] && checked "$2" "$3"; then
        return 0
    fi
    retry curl --silent --show-error --fail --location --connect-timeout 15 --output "$2.part" "$1"
    checked "$2.part" "$3" || die "$1 does not have the SHA-256 $3"
    mv -f "$2.part" "$2"
}
machine() {
    case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) die "no programs are known for machines of kind $(uname -m)" ;;
    esac
}
apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -q --no-install-recommends "$@"
}
