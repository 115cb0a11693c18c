magnum_add_test(certs RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/certs.c LINKS magnum_certs)
