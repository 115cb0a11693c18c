magnum_add_test(sdk_lib RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/sdk_lib.c LINKS magnum_sdk)
magnum_add_test(sdk_lib_local RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/sdk_lib_local.c
  LINKS magnum_local)
magnum_add_test(sdk_heat RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/sdk_heat.c LINKS magnum_sdk)
magnum_add_test(sdk_heat_cluster RING unit
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/sdk_heat_cluster.c LINKS magnum_sdk)
magnum_add_test(etcd RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/etcd.c LINKS magnum_sdk)
