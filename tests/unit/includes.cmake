add_test(NAME unit/includes COMMAND python3 -B ${CMAKE_CURRENT_LIST_DIR}/includes.py)
set_tests_properties(unit/includes PROPERTIES LABELS unit TIMEOUT 60)
