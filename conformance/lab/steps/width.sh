# An IOMMU that translates fewer address bits than guest memory takes.
. /lab/attempt.sh
uname -r > kernel
attempt enough plan 00:02.0
attempt too-much igd-vmm run --device host=00:02.0,addr=0x2,x-igd-opregion=on --memory 600G --firmware /lab/bios.bin \
    --exit-after 1
