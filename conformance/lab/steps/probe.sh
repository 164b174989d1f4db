# The facts, as igd-vmm reads them through the kernel.
igd-vmm probe --device host=00:02.0 --json > facts.json
