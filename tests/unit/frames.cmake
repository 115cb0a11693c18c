magnum_add_test(frames RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/frames.c LINKS magnum_host)
