magnum_add_test(auth RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/auth.c LINKS magnum_auth)
