magnum_add_test(auth_basic RING component SOURCES ${CMAKE_CURRENT_LIST_DIR}/auth_basic.c LINKS magnum_auth)
