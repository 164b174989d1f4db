#!/bin/sh
# First program of the lab's machine. Words of the kernel's command line:
#   lab.bind=ADDRESS,...   functions to hand to vfio-pci
#   lab.steps=NAME,...     steps to run; each leaves its files in a folder of its own
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /out
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
ulimit -l unlimited
# Guest RAM in large pages is few mappings in the IOMMU, each of which is a message to the device's process.
echo always > /sys/kernel/mm/transparent_hugepage/shmem_enabled

now() { cut -d' ' -f1 /proc/uptime; }
words() {
    for word in $(cat /proc/cmdline); do
        case $word in "$1"=*) echo "${word#*=}" | tr , ' ' ;; esac
    done
}

echo "LAB kernel $(uname -r) up at $(now)"
while read -r module; do
    insmod "/modules/$module.ko" || echo "LAB module $module failed"
done < /modules.order
for address in $(words lab.bind); do
    bind-vfio "$address" || echo "LAB cannot bind $address"
done
results=
for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name")" = lab ] && results=/dev/${port##*/}
done
echo "LAB ready at $(now), results to ${results:-nowhere}"
for step in $(words lab.steps); do
    mkdir -p "/out/$step"
    cd "/out/$step" || continue
    start=$(now)
    sh "/lab/steps/$step.sh" > out.txt 2>&1
    echo $? > code
    echo "$start $(now)" > times
    dmesg > dmesg.txt
    echo "LAB step $step ended with $(cat code) at $(now)"
    cd /out
    tar -cf "$results" "$step"
done
echo "LAB end at $(now)"
poweroff -f
