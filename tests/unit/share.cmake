magnum_add_test(share RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/share.c LINKS magnum_operation)
