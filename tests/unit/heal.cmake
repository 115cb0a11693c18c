magnum_add_test(heal_plan RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/heal_plan.c LINKS magnum_conductor)
