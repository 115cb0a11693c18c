magnum_add_test(top RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/top.c LINKS magnum_cli)
