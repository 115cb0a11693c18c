add_test(NAME unit/abi_layout COMMAND python3 -B ${CMAKE_CURRENT_LIST_DIR}/abi_layout.py
  ${CMAKE_C_COMPILER})
set_tests_properties(unit/abi_layout PROPERTIES LABELS unit TIMEOUT 120)
add_test(NAME unit/abi_diff COMMAND python3 -B ${CMAKE_CURRENT_LIST_DIR}/abi_diff.py)
set_tests_properties(unit/abi_diff PROPERTIES LABELS unit TIMEOUT 240)
