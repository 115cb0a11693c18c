# Every option of a plugin we ship stands in the schema of its configuration.
add_test(NAME unit/config_schemas COMMAND python3 -B ${CMAKE_CURRENT_LIST_DIR}/config_schemas.py)
set_tests_properties(unit/config_schemas PROPERTIES LABELS unit TIMEOUT 60
  ENVIRONMENT "MAGNUM_SOURCE_DIR=${CMAKE_SOURCE_DIR};MAGNUM_BUILD_DIR=${CMAKE_BINARY_DIR}")
