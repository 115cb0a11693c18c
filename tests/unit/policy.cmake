magnum_add_test(policy RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/policy.c LINKS magnum_auth)
