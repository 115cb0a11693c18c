# magnum_add_lab_test(name RING ring PROFILE identity|full [TIMEOUT s]): tests/<ring>/test_<name>.py
# with the OpenStack lab (support/lab.py). The fixtures start the lab once before the first test that
# wants it and stop it once after the last; they leave a lab that ran already. Tests of the lab run
# one after another: they share its catalogue, its accounts and its one Keystone.
function(magnum_lab_fixture name)
  add_test(NAME lab/${name} COMMAND python3 -B ${CMAKE_SOURCE_DIR}/tests/support/lab.py ${ARGN})
  set_tests_properties(lab/${name} PROPERTIES TIMEOUT 900 SKIP_RETURN_CODE 77 RESOURCE_LOCK lab
    ENVIRONMENT "MAGNUM_SOURCE_DIR=${CMAKE_SOURCE_DIR};MAGNUM_BUILD_DIR=${CMAKE_BINARY_DIR}")
endfunction()

magnum_lab_fixture(identity start identity)
magnum_lab_fixture(full start full)
magnum_lab_fixture(stop stop)
set_tests_properties(lab/identity PROPERTIES FIXTURES_SETUP lab_identity)
set_tests_properties(lab/full PROPERTIES FIXTURES_SETUP lab_full FIXTURES_REQUIRED lab_identity)
set_tests_properties(lab/stop PROPERTIES FIXTURES_CLEANUP "lab_identity;lab_full")

function(magnum_add_lab_test name)
  cmake_parse_arguments(A "" "RING;PROFILE;TIMEOUT" "" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 900)
  endif()
  magnum_add_system_test(${name} RING ${A_RING} TIMEOUT ${A_TIMEOUT})
  set_tests_properties(${A_RING}/${name} PROPERTIES SKIP_RETURN_CODE 77 RESOURCE_LOCK lab
    FIXTURES_REQUIRED lab_${A_PROFILE})
endfunction()
