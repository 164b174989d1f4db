# The plan, from the device itself, and the facts that it is to be compared with.
igd-vmm probe --device host=00:02.0 --json > facts.json || exit
igd-vmm plan --device host=00:02.0,addr=0x2,x-igd-opregion=on --json > plan.json
