# The list of recorded steps that may differ, and its document.
add_test(NAME unit/differences COMMAND python3 -B ${CMAKE_CURRENT_LIST_DIR}/differences.py)
set_tests_properties(unit/differences PROPERTIES LABELS unit TIMEOUT 60
  ENVIRONMENT "MAGNUM_SOURCE_DIR=${CMAKE_SOURCE_DIR}")
