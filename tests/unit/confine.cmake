magnum_add_test(confine RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/confine.c LINKS magnum_drivers)
