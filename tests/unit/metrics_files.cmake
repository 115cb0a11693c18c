add_test(NAME unit/metrics_files COMMAND python3 -B ${CMAKE_CURRENT_LIST_DIR}/metrics_files.py)
set_tests_properties(unit/metrics_files PROPERTIES LABELS unit TIMEOUT 120
  ENVIRONMENT "MAGNUM_SOURCE_DIR=${CMAKE_SOURCE_DIR};MAGNUM_BUILD_DIR=${CMAKE_BINARY_DIR}")
