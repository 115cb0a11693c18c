# Moves the wall clock of a process it is preloaded into.
add_library(clock_shift MODULE ${CMAKE_SOURCE_DIR}/tests/fakes/clock_shift.c)
target_link_libraries(clock_shift PRIVATE magnum_flags)
set_target_properties(clock_shift PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

magnum_add_system_test(faults TIMEOUT 900)
