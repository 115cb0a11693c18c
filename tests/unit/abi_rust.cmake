add_test(NAME unit/abi_rust COMMAND python3 -B ${CMAKE_CURRENT_LIST_DIR}/abi_rust.py)
set_tests_properties(unit/abi_rust PROPERTIES LABELS unit TIMEOUT 120 SKIP_RETURN_CODE 77)
