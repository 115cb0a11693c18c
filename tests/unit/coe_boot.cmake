# Boot scripts of Swarm's and Mesos' nodes: shellcheck, whole lists of files, labels, who joins whom.
add_test(NAME unit/coe_boot COMMAND python3 -B ${CMAKE_CURRENT_LIST_DIR}/coe_boot.py
  ${CMAKE_SOURCE_DIR})
set_tests_properties(unit/coe_boot PROPERTIES LABELS unit TIMEOUT 120)
