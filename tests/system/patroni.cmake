# A ring of its own, outside of CI: it waits for leaders to be given up. tests/run patroni
magnum_add_system_test(patroni TIMEOUT 600)
set_tests_properties(system/patroni PROPERTIES LABELS patroni)
