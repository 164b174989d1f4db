# Tests of igd-vmm, as they were built.
for test in /lab/test/*; do
    "$test" --test-threads=1 > "${test##*/}.txt" 2>&1
done
