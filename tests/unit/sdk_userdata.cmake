magnum_add_test(sdk_userdata RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/sdk_userdata.c
  LINKS magnum_userdata)
# What a cloud-init and a checker of Ignition's rules make of the same user data.
add_test(NAME unit/sdk_userdata_readers
  COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/sdk_userdata.py $<TARGET_FILE:test_unit_sdk_userdata>)
set_tests_properties(unit/sdk_userdata_readers PROPERTIES LABELS unit TIMEOUT 120)
