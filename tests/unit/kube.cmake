magnum_add_test(kube RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/kube.c LINKS magnum_sdk)
magnum_add_test(roster RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/roster.c LINKS magnum_local)
magnum_add_test(verdict RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/verdict.c LINKS magnum_sdk)
