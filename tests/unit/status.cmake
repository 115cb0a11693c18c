magnum_add_test(status RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/status.c LINKS magnum_model)
