magnum_add_test(base RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/base.c LINKS magnum_base)
magnum_add_test(cond RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/cond.c LINKS magnum_base)
