# Recorded answers of the original beside our own (../shared/conformance).
magnum_add_lab_test(conformance RING conformance PROFILE full TIMEOUT 1800)
