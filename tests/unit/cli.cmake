magnum_add_test(cli RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/cli.c LINKS magnum_cli)
