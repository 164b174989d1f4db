# The same Linux guest in our VMM and in QEMU, with the same device and options: i915 says what it finds. QEMU has its firmware
# place OpRegion and stolen memory, our VMM does it itself.
. /lab/run-linux.sh
linux
timeout -s KILL 200 /lab/qemu/loader --library-path /lab/qemu /lab/qemu/qemu -L /lab/qemu/share -accel kvm -machine pc -m 512 \
    -nodefaults -vga none -display none -no-reboot -bios /lab/bios.bin -serial file:qemu.log \
    -device vfio-pci,host=00:02.0,addr=02.0,x-igd-opregion=on -kernel /lab/vmlinuz -initrd /lab/guest.cpio \
    -append 'console=ttyS0 quiet panic=-1 log_buf_len=16M' > qemu.err 2>&1 < /dev/null
