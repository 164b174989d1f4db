# The same with stolen memory where the host has it, so that what the device's registers say of it holds in the guest.
. /lab/run-linux.sh
linux --provisioning identity
